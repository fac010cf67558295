"""What can be said of a picture or of a plan in numbers."""
