//! How a system description becomes the boot module: the description, the kernel
//! and the programs that it names.
