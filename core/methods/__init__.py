"""The papers, a file each, and what several of them use."""
