"""Human verdicts on candidates: the journal that keeps them."""
