"""The methods side by side on a checkpoint of yours, judged as their papers do; the commands are in `__main__`."""
