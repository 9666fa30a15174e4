// Package rosetta stands in for github.com/tonistiigi/go-rosetta, which asks whether macOS translates the program.
package rosetta

// Available tells whether the translator is there: never, on Linux.
func Available() bool { return false }

// Enabled tells whether this process is translated.
func Enabled() bool { return false }

// NativeArch is the processor's own name, where it is not the program's.
func NativeArch() string { return "" }
