"""What one does next with a frame that came out of a harvest: the accessor `frame.harvest` and what it shows."""
