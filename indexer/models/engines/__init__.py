"""A model at work in a process of its own: started, asked, watched, and replaced when it is sick."""
