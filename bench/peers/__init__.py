"""What rushes is measured against: servers that answer the same webhooks, each a process of its own."""
