"""Time controls: how a model scores when the frames of its clips are reversed, shuffled, or fewer.

A score says that a model tells two labels apart, not that it does so by the order of frames. Beside it stand what the
mean of the same frames scores, which knows no order, and what is left once time is changed.
"""

from cia_bench.frame_order import REVERSED, SHUFFLED

ORDER_BLIND, ARROW, FLIP_RATE, GAIN = "order_blind", "arrow", "flip_rate", "gain"
SINGLE_FRAMES = ("first_frame", "middle_frame", "last_frame", "random_frame")
FRAME_COUNTS = {"frames_2": 2, "frames_4": 4, "frames_8": 8}
CONTROLS = (ORDER_BLIND, ARROW, SHUFFLED, REVERSED, *SINGLE_FRAMES, *FRAME_COUNTS)  # each an accuracy
MEASURES = (*CONTROLS, FLIP_RATE, GAIN)  # all that a record tells of
