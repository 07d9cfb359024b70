package codicefiscale

// LooksLike tells whether s holds a text that a reader would take for a codice fiscale, in upper
// or lower case, omocodes included. It is for fields that must hold none.
//
// A word of exactly sixteen letters and digits needs only the shape, so that a mistyped code is
// found too. A code glued to more letters and digits, or broken up by other characters
// (RSS-MRA-85T10-A562S), needs its right check character besides: about one in thirteen thousand
// hexadecimal keys of 32 digits holds the bare shape by chance, one in three hundred thousand this.
func LooksLike(s string) bool {
	if len(s) < length {
		return false
	}
	squeezed := make([]byte, 0, len(s))
	word := 0 // where the current word begins in squeezed
	for i := range len(s) {
		c, ok := upper(s[i])
		if ok {
			squeezed = append(squeezed, c)
			continue
		}
		if shaped(squeezed[word:]) {
			return true
		}
		word = len(squeezed)
	}
	if shaped(squeezed[word:]) {
		return true
	}
	for i := 0; i+length <= len(squeezed); i++ {
		if window := squeezed[i : i+length]; shaped(window) && checked(window) {
			return true
		}
	}
	return false
}

// upper gives an ASCII letter in upper case or a digit; ok is false for anything else.
func upper(c byte) (up byte, ok bool) {
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	_, ok = rankOf(c)
	return c, ok
}

// shaped tells whether word has the shape of a codice fiscale, whatever its date and check.
func shaped(word []byte) bool {
	if len(word) != length {
		return false
	}
	for i := range length {
		if !fits(word[i], shape[i]) {
			return false
		}
	}
	return true
}

// checked tells whether the last character follows from the others.
func checked(word []byte) bool {
	check, ok := CheckCharacter(string(word[:length-1]))
	return ok && check == word[length-1]
}
