"""Who is asked, and what a failure means."""
