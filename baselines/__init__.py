"""The bundled encoders, summaries and trainers, each written as a third party would write a plug-in."""
