"""The text in a picture: where each line is and what it says, with RapidOCR's models."""
