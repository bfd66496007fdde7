"""How MongoDB is reached: connections, the two drivers, and what their errors mean."""
