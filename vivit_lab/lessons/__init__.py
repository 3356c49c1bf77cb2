"""The course: the exercises' checks, and the studies behind notebooks 03 and 09."""
