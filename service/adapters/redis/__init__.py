"""Records, limits and stored answers in Redis or Valkey: standalone, Sentinel or Cluster."""
