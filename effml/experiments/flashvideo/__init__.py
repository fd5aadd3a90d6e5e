"""FlashVideo: what retention buys when video is generated token by token."""
