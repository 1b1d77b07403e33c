"""Network definitions, checkpoint reading, and which file lies in which folder."""
