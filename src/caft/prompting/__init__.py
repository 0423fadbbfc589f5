"""From items to prompts and back: templates, tokens, and answers read out of texts."""
