// What a vendor's program made by npm soap sees of a closed door.
//
// Usage: node door.js WSDL_URL SOAP11|SOAP12 USER PASSWORD_FILE
//
// Calls echo and inviaEvento, and prints one JSON object: what echo says, and of the refusal the
// HTTP status, Retry-After, X-Sinba-Codice, and the text that the stack shows.
'use strict';
const fs = require('fs');
const soap = require('soap');
const { newEvent } = require('./event.js');

async function main() {
  const [wsdl, version, user, passwordFile] = process.argv.slice(2);
  const client = await soap.createClientAsync(wsdl, { forceSoap12Headers: version === 'SOAP12' });
  client.setSecurity(new soap.BasicAuthSecurity(user, fs.readFileSync(passwordFile, 'utf8').trim()));
  const port = client.SinbaEventi[version === 'SOAP12' ? 'SinbaEventiSoap12' : 'SinbaEventiSoap11'];
  const call = (operation, request) => new Promise((resolve, reject) => {
    port[operation](request, (error, result) => (error ? reject(error) : resolve(result)));
  });

  const echo = await call('echo', { Messaggio: 'prova' });
  const said = { disponibile: echo.Disponibile, messaggio: echo.Messaggio };
  try {
    await call('inviaEvento', newEvent());
  } catch (error) {
    const { status, headers } = error.response;
    Object.assign(said, { text: error.message, status, retry_after: headers['retry-after'], codice: headers['x-sinba-codice'] });
  }
  console.log(JSON.stringify(said));
}

main().catch((error) => { console.error(error.message); process.exit(1); });
