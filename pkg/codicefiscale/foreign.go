package codicefiscale

// CheckProvisional checks an eleven-digit provisional code: its digits and its check digit, which
// is that of VAT numbers (Luhn). The error is ErrForm or ErrCheck.
func CheckProvisional(s string) error {
	if len(s) != 11 || !digitsOnly(s) {
		return ErrForm
	}
	sum := 0
	for i := range len(s) {
		digit := int(s[i] - '0')
		if i%2 == 1 { // an even position, counted from 1
			digit *= 2
			if digit > 9 {
				digit -= 9
			}
		}
		sum += digit
	}
	if sum%10 != 0 {
		return ErrCheck
	}
	return nil
}

// CheckSTP checks the code of a foreigner temporarily present (straniero temporaneamente
// presente): STP, three digits of the region, three of the ASL, seven of a progressive number;
// it has no check digit. The error is ErrForm or ErrRegion.
func CheckSTP(s string) error { return checkForeign(s, "STP") }

// CheckENI checks the code of a European not enrolled (europeo non iscritto), built like an STP
// code. The error is ErrForm or ErrRegion.
func CheckENI(s string) error { return checkForeign(s, "ENI") }

func checkForeign(s, prefix string) error {
	if len(s) != length || s[:3] != prefix || !digitsOnly(s[3:]) {
		return ErrForm
	}
	if !region(s[3:6]) {
		return ErrRegion
	}
	return nil
}

// region tells whether three digits name an ISTAT region in the health service's spelling: 010
// (Piemonte) to 200 (Sardegna), and 041 and 042 for the provinces of Bolzano and Trento.
func region(digits string) bool {
	if digits == "041" || digits == "042" {
		return true
	}
	return digits[2] == '0' && digits >= "010" && digits <= "200"
}

func digitsOnly(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
