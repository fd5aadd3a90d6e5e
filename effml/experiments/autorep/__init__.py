"""AutoReP: as few ReLUs as the budget says, and what a private inference then really costs."""
