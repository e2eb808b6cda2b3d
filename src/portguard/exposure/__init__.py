"""What a listener is, whatever its port: recognised from what the kernel tells about its process."""
