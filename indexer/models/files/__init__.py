"""Published files: where they are, whether they are genuine, and how they are downloaded."""
