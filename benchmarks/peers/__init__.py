"""The pack beside others that sample large canvases or enlarge pictures, in one run of one host."""
