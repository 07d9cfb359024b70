import java.io.PrintStream;
import java.math.BigDecimal;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Collections;
import java.util.Map;
import java.util.UUID;
import javax.xml.ws.BindingProvider;
import javax.xml.ws.WebServiceException;
import javax.xml.ws.handler.MessageContext;
import sinba.eventi.v1.*;

/**
 * A vendor's client made by JAX-WS from the served WSDL: wsimport -extension -s gen -d classes WSDL_URL.
 *
 * <p>Usage: Client WSDL_URL SOAP11|SOAP12 USER PASSWORD_FILE
 *
 * <p>Builds whole events from JAXB's types, calls every operation, and prints one JSON line a step,
 * the same steps as the clients of the other stacks. Any other exception is a failure of the
 * contract with this stack.
 */
public final class Client {
    private final SinbaEventiPortType port;

    private Client(SinbaEventi service, String version, String user, String password) {
        port = version.equals("SOAP12") ? service.getSinbaEventiSoap12() : service.getSinbaEventiSoap11();
        Map<String, Object> context = ((BindingProvider) port).getRequestContext();
        context.put(BindingProvider.USERNAME_PROPERTY, user);
        context.put(BindingProvider.PASSWORD_PROPERTY, password);
    }

    /** A call of an operation. */
    private interface Call<T> {
        T call() throws ErroreSinba;
    }

    /** Calls an operation and prints its answer or its fault. */
    private <T> T step(String name, String operation, Call<T> call) throws ReflectiveOperationException {
        String line = "{\"step\":\"" + name + "\",\"operation\":\"" + operation + "\",";
        T answer = null;
        try {
            answer = call.call();
            line += "\"answer\":" + Json.of(answer);
        } catch (ErroreSinba e) {
            line += "\"fault\":" + Json.of(e.getFaultInfo());
        }
        System.out.println(line + "}");
        return answer;
    }

    private RicevutaEventoType send(String name, MessaggioEventoType event) throws ReflectiveOperationException {
        return step(name, "inviaEvento", () -> port.inviaEvento(event));
    }

    private StatoEventoType state(String name, RichiestaStatoType which) throws ReflectiveOperationException {
        return step(name, "statoEvento", () -> port.statoEvento(which));
    }

    /** The HTTP status of the last answer: all that JAX-WS shows of one that is neither 200 nor 500. */
    private Object status() {
        return ((BindingProvider) port).getResponseContext().get(MessageContext.HTTP_RESPONSE_CODE);
    }

    private StatoServizioType echo(String name) throws ReflectiveOperationException {
        EchoType ping = new EchoType();
        ping.setVersione("1.0");
        ping.setMessaggio("Però, l'eco c'è: €");
        return step(name, "echo", () -> port.echo(ping));
    }

    private void receipts() throws ReflectiveOperationException {
        MessaggioEventoType event = Event.create();
        step("verify", "verificaEvento", () -> port.verificaEvento(event));
        RicevutaEventoType receipt = send("send", event);

        // An honest retry: another IdMessaggio and DataOraInvio, everything else the same.
        event.getTestata().setIdMessaggio(UUID.randomUUID().toString());
        event.getTestata().setDataOraInvio(Event.now());
        send("retry", event);

        RichiestaStatoType byReceipt = new RichiestaStatoType();
        byReceipt.setCodiceEnte("SDS-PI");
        byReceipt.setIdRicevuta(receipt.getIdRicevuta());
        state("state-by-receipt", byReceipt);
        RichiestaStatoType byEvent = new RichiestaStatoType();
        byEvent.setIdEvento(receipt.getIdEvento());
        state("state-by-event", byEvent);

        event.getTestata().setProgressivoCartella(8);
        send("other-content", event);
        MessaggioEventoType warned = Event.create();
        warned.getSoggetto().getAnagrafica().setDataNascita(Event.day("2012-05-08"));
        send("warned", warned);
    }

    private void refusals() throws ReflectiveOperationException {
        MessaggioEventoType bad = Event.create();
        bad.getTestata().setIdMessaggio("0001234");
        bad.getTestata().setProgressivoCartella(0);
        bad.getMittente().getEnte().setDenominazione(String.join("", Collections.nCopies(101, "à")));
        bad.getMittente().getEnte().setCodiceZona("Z 15");
        bad.getSoggetto().getAnagrafica().getResidenza().setCAP("5612");
        bad.getDettaglio().getFotografia().getIntervento().get(1).setImportoMensile(new BigDecimal("-1"));
        step("verify-schema", "verificaEvento", () -> port.verificaEvento(bad));
        send("schema", bad);

        MessaggioEventoType broken = Event.create();
        broken.getTestata().setTipoEvento(CodTipoEvento.INTERVENTO);
        broken.getSoggetto().setIdAssistitoLocale("DNGZCL12E49G702K");
        broken.getSoggetto().getIdentificativo().setCodiceFiscale("DNGZCL12E49G702A");
        broken.getCartella().setDataApertura(Event.day("2011-09-10"));
        send("rules", broken);
    }

    private void lot() throws ReflectiveOperationException {
        LottoType lot = new LottoType();
        lot.setVersione("1.0");
        lot.setIdLotto(UUID.randomUUID().toString());
        MessaggioEventoType bad = Event.create();
        bad.getSoggetto().getIdentificativo().setCodiceFiscale("DNGZCL12E49G702A");
        lot.getEvento().addAll(Arrays.asList(Event.create(), bad));
        step("lot", "inviaLotto", () -> port.inviaLotto(lot));
    }

    private void notYet() throws ReflectiveOperationException {
        RichiestaRiepilogoType month = new RichiestaRiepilogoType();
        month.setCodiceEnte("SDS-PI");
        month.setDal(Event.day(java.time.LocalDate.now().minusDays(7).toString()));
        month.setAl(Event.day(java.time.LocalDate.now().plusDays(1).toString()));
        step("summary", "riepilogoEventi", () -> port.riepilogoEventi(month));
    }

    public static void main(String[] args) throws Exception {
        System.setOut(new PrintStream(System.out, true, "UTF-8"));
        SinbaEventi service = new SinbaEventi(new URL(args[0]));
        String password = new String(Files.readAllBytes(Paths.get(args[3])), "US-ASCII").trim();
        Client vendor = new Client(service, args[1], args[2], password);
        vendor.echo("echo");
        vendor.receipts();
        vendor.refusals();
        vendor.lot();
        vendor.notYet();
        Client stranger = new Client(service, args[1], args[2], "another password");
        try {
            stranger.echo("wrong-password");
        } catch (WebServiceException e) {
            System.out.println("{\"step\":\"wrong-password\",\"operation\":\"echo\",\"status\":" + stranger.status() + "}");
        }
    }
}
