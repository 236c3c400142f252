"""From results to what people read: ranking tables and figures."""
