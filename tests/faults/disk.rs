pub fn full() {}
pub fn read_only() {}
