"""What can be known of a service before it is deployed."""
