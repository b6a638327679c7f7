"""Data: the lexicon of verb pairs, the published chiral groups; see NOTICE for origins."""
