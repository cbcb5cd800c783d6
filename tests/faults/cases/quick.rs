//! The cases of `make faults-quick`, which every run of all tests includes.
