"""LinGCN: skeleton graph networks on encrypted joints."""
