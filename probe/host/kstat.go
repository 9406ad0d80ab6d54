package host

import (
	"errors"
	"fmt"
	"strings"
)

// Types of data in a kstat file.
const (
	kstatInt64  = "3"
	kstatUint64 = "4"
)

// parseKstat yields what stands below the line "name type data". data reaches to the end of its line.
func parseKstat(text string, add func(name, kind, data string) error) error {
	begun := false
	for line := range strings.Lines(text) {
		name, rest := cutField(line)
		kind, data := cutField(rest)
		switch {
		case !begun:
			begun = name == "name" && kind == "type" && data == "data"
		case data != "":
			if err := add(name, kind, data); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if !begun {
		return errors.New("no line of names")
	}
	return nil
}

// cutField takes the first field off a line.
func cutField(line string) (field, rest string) {
	line = strings.TrimSpace(line)
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		return line[:i], strings.TrimSpace(line[i:])
	}
	return line, ""
}
