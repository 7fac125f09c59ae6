//! Servers inside the test process.
