import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Map;
import javax.xml.bind.JAXBContext;
import javax.xml.bind.JAXBElement;
import javax.xml.bind.Unmarshaller;
import javax.xml.bind.helpers.DefaultValidationEventHandler;
import javax.xml.transform.stream.StreamSource;
import javax.xml.ws.BindingProvider;
import sinba.eventi.v1.*;

/**
 * Sends whole events by JAX-WS, from the objects that JAXB makes of their documents.
 *
 * <p>Usage: History WSDL_URL SOAP11|SOAP12 FILE
 *
 * <p>FILE has one event a line: user, password file and document, parted by tabs. Prints Esito,
 * SaleImpronta and ImprontaMessaggio of each, one event a line; a refusal is an exception.
 */
public final class History {
    private History() {}

    public static void main(String[] args) throws Exception {
        SinbaEventi service = new SinbaEventi(new URL(args[0]));
        SinbaEventiPortType port = args[1].equals("SOAP12") ? service.getSinbaEventiSoap12() : service.getSinbaEventiSoap11();
        Map<String, Object> context = ((BindingProvider) port).getRequestContext();
        Unmarshaller reader = JAXBContext.newInstance(ObjectFactory.class).createUnmarshaller();
        // Without it, what the types do not have is left out without a word.
        reader.setEventHandler(new DefaultValidationEventHandler());
        for (String line : Files.readAllLines(Paths.get(args[2]), StandardCharsets.UTF_8)) {
            String[] fields = line.split("\t");
            context.put(BindingProvider.USERNAME_PROPERTY, fields[0]);
            context.put(BindingProvider.PASSWORD_PROPERTY, new String(Files.readAllBytes(Paths.get(fields[1])), "US-ASCII").trim());
            JAXBElement<MessaggioEventoType> event =
                    reader.unmarshal(new StreamSource(Paths.get(fields[2]).toFile()), MessaggioEventoType.class);
            RicevutaEventoType receipt = port.inviaEvento(event.getValue());
            System.out.println(receipt.getEsito() + " " + receipt.getSaleImpronta() + " " + receipt.getImprontaMessaggio());
        }
    }
}
