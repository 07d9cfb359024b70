package validator

import "golang.org/x/sys/unix"

// architecture is what the kernel calls this one.
const architecture = unix.AUDIT_ARCH_AARCH64
