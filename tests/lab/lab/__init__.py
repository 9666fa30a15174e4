"""An EC2 endpoint with real hosts behind it; see README.md beside this package."""
