"""The methods, one file for each paper, and what several of them use."""
