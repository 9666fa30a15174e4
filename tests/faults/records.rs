pub fn truncated() {}
