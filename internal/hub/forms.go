package hub

// Form says what values of a simple type of the event schema look like, so that it can follow "must
// be". An enumeration needs none: its values are told.
type Form struct {
	// Type is the schema's name of the type.
	Type   string
	IT, EN string
}

// Forms is the one table of forms; a test holds it against xsd/sinba-eventi-v1.xsd.
func Forms() []Form {
	return []Form{
		{"GiornoType", "una data come 2012-03-15", "a date like 2012-03-15"},
		{"DataOraTzType", "un istante con fuso come 2012-03-15T10:00:00Z o 2012-03-15T11:00:00+01:00", "an instant with its zone like 2012-03-15T10:00:00Z or 2012-03-15T11:00:00+01:00"},
		{"UuidType", "un UUID: 32 cifre esadecimali nei gruppi 8-4-4-4-12", "a UUID: 32 hexadecimal digits in the groups 8-4-4-4-12"},
		{"CodiceLocaleType", "da 1 a 36 caratteri fra lettere senza accento, cifre e . _ : / -", "1 to 36 characters: letters without accents, digits and . _ : / -"},
		{"CodiceFiscaleType", "un codice fiscale: 16 caratteri, lettere maiuscole e cifre", "a codice fiscale: 16 characters, upper-case letters and digits"},
		{"CodiceNumerico11Type", "11 cifre", "11 digits"},
		{"CodiceSTPType", "STP seguito da 13 cifre", "STP followed by 13 digits"},
		{"CodiceENIType", "ENI seguito da 13 cifre", "ENI followed by 13 digits"},
		{"CodiceCatastaleType", "un codice catastale: una lettera maiuscola e 3 cifre, come D612", "a cadastral code: an upper-case letter and 3 digits, like D612"},
		{"CodiceIstatComuneType", "un codice ISTAT del comune: 6 cifre, con gli zeri iniziali", "an ISTAT code of a municipality: 6 digits, leading zeroes included"},
		{"CodiceNazioneType", "un codice ISO 3166-1 numerico: 3 cifre, come 380", "an ISO 3166-1 numeric code: 3 digits, like 380"},
		{"CodicePrestazioneType", "da 5 a 10 caratteri fra lettere maiuscole, cifre e punti", "5 to 10 characters: upper-case letters, digits and points"},
		{"ImportoType", "un importo non negativo con il punto decimale: al massimo 9 cifre, di cui 2 decimali", "an amount, not negative, with a decimal point: at most 9 digits, 2 of them decimals"},
		{"VersioneContrattoType", "una versione del contratto come 1.0", "a version of the contract like 1.0"},
		{"PositivoType", "un numero intero da 1 a 2147483647", "a whole number from 1 to 2147483647"},
		{"NonNegativoType", "un numero intero da 0 a 2147483647", "a whole number from 0 to 2147483647"},
		{"IndiceType", "un numero intero da 0", "a whole number from 0"},
		{"NumeroComponentiType", "un numero intero da 0 a 9 (9 = nove o più)", "a whole number from 0 to 9 (9 = nine or more)"},
		{"OreMensiliType", "un numero intero da 0 a 999", "a whole number from 0 to 999"},
		{"CapType", "un CAP di 5 cifre", "a postal code of 5 digits"},
		{"ImprontaType", "64 cifre esadecimali minuscole", "64 hexadecimal digits in lower case"},
		{"SaleType", "32 cifre esadecimali minuscole", "32 hexadecimal digits in lower case"},
		{"CodiceAnomaliaType", "SINBA_ seguito da 3 cifre", "SINBA_ followed by 3 digits"},
		{"Testo20Type", "un testo di una riga, da 1 a 20 caratteri", "a text of one line, 1 to 20 characters"},
		{"Testo50Type", "un testo di una riga, da 1 a 50 caratteri", "a text of one line, 1 to 50 characters"},
		{"Testo100Type", "un testo di una riga, da 1 a 100 caratteri", "a text of one line, 1 to 100 characters"},
		{"Testo256Type", "un testo da 1 a 256 caratteri", "a text of 1 to 256 characters"},
	}
}
