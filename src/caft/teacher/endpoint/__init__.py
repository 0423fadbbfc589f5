"""Teachers behind an OpenAI-compatible address, online, in batches, or started by the job."""
