package hub

// schemaSentences are those of the schema's violations (internal/validator chooses among them).
func schemaSentences() []Sentence {
	return []Sentence{
		{CodeSchemaMissing, "missing", "Manca `{}`: {next}.", "`{}` is missing: {next}."},
		{CodeSchemaMissing, "one", "Manca uno fra {form}: {next}.", "One of {form} is missing: {next}."},
		{CodeSchemaMissing, "empty", "`{}` è vuoto: deve contenere {form}.", "`{}` is empty: it must contain {form}."},
		{CodeSchemaMissing, "order", "`{}` non è al suo posto: {next}.", "`{}` is not in its place: {next}."},
		{CodeSchemaUnexpected, "unknown", "`{}` contiene un elemento che lo schema non prevede: può contenere solo {form}.", "`{}` holds an element that the schema does not have: it can hold only {form}."},
		{CodeSchemaUnexpected, "instead", "Questo elemento non è previsto: al suo posto deve stare {form}.", "This element is not expected: in its place must stand {form}."},
		{CodeSchemaUnexpected, "place", "`{}` non può stare qui: sono ammessi solo {form}.", "`{}` cannot stand here: only {form} are allowed."},
		{CodeSchemaUnexpected, "twice", "`{}` è ripetuto: può stare una volta sola.", "`{}` is repeated: it can stand only once."},
		{CodeSchemaUnexpected, "many", "`{}` è ripetuto troppe volte: sono ammesse al massimo {form} volte.", "`{}` is repeated too often: it can stand at most {form} times."},
		{CodeSchemaUnexpected, "alternatives", "`{}` è di troppo: può stare un solo elemento fra {form}.", "`{}` is too much: only one element can stand of {form}."},
		{CodeSchemaUnexpected, "namespace", "`{}` è in un altro namespace: deve essere in {form}.", "`{}` is in another namespace: it must be in {form}."},
		{CodeSchemaPattern, "form", "`{}` deve essere {form}; trovato: {found}.", "`{}` must be {form}; found: {found}."},
		{CodeSchemaPattern, "empty", "`{}` è vuoto: deve essere {form}.", "`{}` is empty: it must be {form}."},
		{CodeSchemaPattern, "long", "`{}` ha {length} caratteri: ne sono ammessi al massimo {form}.", "`{}` has {length} characters, at most {form} are allowed."},
		{CodeSchemaPattern, "short", "`{}` ha {length} caratteri: ne servono almeno {form}.", "`{}` has {length} characters, at least {form} are needed."},
		{CodeSchemaEnumeration, "form", "`{}` deve essere uno fra {form}; trovato: {found}.", "`{}` must be one of {form}; found: {found}."},
		{CodeSchemaEnumeration, "empty", "`{}` è vuoto: deve essere uno fra {form}.", "`{}` is empty: it must be one of {form}."},
		{CodeSchemaLength, "long", "`{}` ha {length} caratteri: ne sono ammessi al massimo {form}.", "`{}` has {length} characters, at most {form} are allowed."},
		{CodeSchemaLength, "short", "`{}` ha {length} caratteri: ne servono almeno {form}.", "`{}` has {length} characters, at least {form} are needed."},
		{CodeSchemaLength, "empty", "`{}` è vuoto: deve essere {form}.", "`{}` is empty: it must be {form}."},
		{CodeSchemaType, "form", "`{}` deve essere {form}; trovato: {found}.", "`{}` must be {form}; found: {found}."},
		{CodeSchemaType, "empty", "`{}` è vuoto: deve essere {form}.", "`{}` is empty: it must be {form}."},
		{CodeSchemaRange, "form", "`{}` deve essere {form}; trovato: {found}.", "`{}` must be {form}; found: {found}."},
		{CodeSchemaAttribute, "unknown", "`{}` ha un attributo che lo schema non prevede: toglierlo.", "`{}` has an attribute that the schema does not have: remove it."},
		{CodeSchemaBlanks, "around", "`{}` ha spazi o a capo prima o dopo il valore: toglierli.", "`{}` has blanks or line breaks around its value: remove them."},
		{CodeSchemaContent, "text", "`{}` contiene testo: può contenere solo elementi.", "`{}` holds text: it can hold only elements."},
		{CodeSchemaContent, "element", "`{}` contiene un elemento: può contenere solo un valore.", "`{}` holds an element: it can hold only a value."},
		{CodeSchemaContent, "split", "`{}` ha un commento o un'istruzione dentro il valore: toglierli.", "`{}` has a comment or an instruction within its value: remove it."},
		{CodeSchemaOther, "nil", "`{}` non ammette xsi:nil: se il dato manca, omettere l'elemento.", "`{}` does not allow xsi:nil: if there is no value, leave the element out."},
		{CodeSchemaOther, "type", "`{}` non ammette questo xsi:type: toglierlo.", "`{}` does not allow this xsi:type: remove it."},
	}
}
