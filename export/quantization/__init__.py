"""From real numbers to integers and back: formats, their choice, and what they cost."""
