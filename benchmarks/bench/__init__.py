"""``make bench``: what Cardigan costs and gains beside the tutorials and other libraries."""
