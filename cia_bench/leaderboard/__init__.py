"""From results to the leaderboard and its forms."""
