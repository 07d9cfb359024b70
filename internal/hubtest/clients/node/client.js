// A vendor's client made by npm soap from the served WSDL.
//
// Usage: node client.js WSDL_URL SOAP11|SOAP12 USER PASSWORD_FILE EVENT.xml BAD.xml
//
// Builds whole events as plain objects, calls the operations, and prints one JSON object of what
// came back. Any exception is a failure of the contract with this stack.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const sax = require('sax');
const soap = require('soap');

// readEvent turns a document into the nested object that npm soap takes.
function readEvent(path) {
  const parser = sax.parser(true, { xmlns: true, trim: true });
  const stack = [{ value: {} }];
  parser.onopentag = (tag) => stack.push({ name: tag.local, value: {}, text: '' });
  parser.ontext = (text) => { stack[stack.length - 1].text += text; };
  parser.onclosetag = () => {
    const { name, value, text } = stack.pop();
    const into = stack[stack.length - 1].value;
    const item = Object.keys(value).length ? value : text;
    if (into[name] === undefined) into[name] = item;
    else into[name] = [].concat(into[name], [item]);
  };
  parser.onerror = (error) => { throw error; };
  parser.write(fs.readFileSync(path, 'utf8')).close();
  return Object.values(stack[0].value)[0];
}

// violations lists the typed fault detail of an error.
function violations(error) {
  const fault = error.root && error.root.Envelope && error.root.Envelope.Body.Fault;
  if (!fault) throw error;
  const detail = fault.detail || fault.Detail;
  const list = [].concat(detail.ErroreSinba.Anomalia);
  return list.map((a) => ({ codice: a.Codice, posizione: a.Posizione, descrizione: a.Descrizione, en: a.DescrizioneEN }));
}

async function attempt(call) {
  try {
    await call();
    return null;
  } catch (error) {
    return violations(error);
  }
}

async function main() {
  const [wsdl, version, user, passwordFile, good, bad] = process.argv.slice(2);
  const client = await soap.createClientAsync(wsdl, { forceSoap12Headers: version === 'SOAP12' });
  client.setSecurity(new soap.BasicAuthSecurity(user, fs.readFileSync(passwordFile, 'utf8').trim()));
  const port = client.SinbaEventi[version === 'SOAP12' ? 'SinbaEventiSoap12' : 'SinbaEventiSoap11'];
  const call = (operation, args) => new Promise((resolve, reject) => {
    port[operation](args, (error, result) => (error ? reject(error) : resolve(result)));
  });
  const out = { node: process.version, version };

  const echo = await call('echo', { Messaggio: 'prova' });
  out.echo = { messaggio: echo.Messaggio, disponibile: echo.Disponibile };

  const event = readEvent(good);
  event.Testata.IdEvento = crypto.randomUUID();
  event.Testata.IdMessaggio = crypto.randomUUID();
  event.Cartella.IdCartella = 'N/' + event.Testata.IdEvento.slice(0, 8);
  const report = await call('verificaEvento', event);
  out.verifica = { conforme: report.Conforme, esito: report.EsitoPrevisto };

  out.receipt = await call('inviaEvento', event);
  event.Testata.IdMessaggio = crypto.randomUUID();
  event.Testata.DataOraInvio = new Date().toISOString();
  out.again = await call('inviaEvento', event);
  out.stato = (await call('statoEvento', { CodiceEnte: event.Mittente.Ente.CodiceEnte, IdRicevuta: out.receipt.IdRicevuta })).Stato;

  event.Testata.ProgressivoCartella = String(Number(event.Testata.ProgressivoCartella) + 7);
  out.conflict = await attempt(() => call('inviaEvento', event));

  const broken = readEvent(bad);
  broken.Testata.IdEvento = crypto.randomUUID();
  out.fault = await attempt(() => call('inviaEvento', broken));

  out.riepilogo = await attempt(() => call('riepilogoEventi', { CodiceEnte: event.Mittente.Ente.CodiceEnte, Dal: '2026-01-01', Al: '2026-01-31' }));
  out.lotto = await attempt(() => call('inviaLotto', { IdLotto: crypto.randomUUID(), Evento: [event] }));
  process.stdout.write(JSON.stringify(out));
}

main().catch((error) => { console.error(error); process.exit(1); });
