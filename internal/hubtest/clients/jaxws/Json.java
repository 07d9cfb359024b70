import java.beans.IntrospectionException;
import java.beans.Introspector;
import java.beans.PropertyDescriptor;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import javax.xml.bind.annotation.XmlElement;
import javax.xml.datatype.XMLGregorianCalendar;

/** Writes what the service answers as JSON, for the test that compares the stacks. */
final class Json {
    private Json() {}

    static String of(Object value) throws ReflectiveOperationException {
        if (value instanceof Number || value instanceof Boolean) {
            return value.toString();
        }
        if (value instanceof String || value instanceof Enum || value instanceof XMLGregorianCalendar) {
            return '"' + value.toString().replace("\\", "\\\\").replace("\"", "\\\"") + '"';
        }
        List<String> parts = new ArrayList<>();
        if (value instanceof List) {
            for (Object item : (List<?>) value) {
                parts.add(of(item));
            }
            return parts.stream().collect(Collectors.joining(",", "[", "]"));
        }
        for (PropertyDescriptor property : properties(value)) {
            Object member = property.getReadMethod() == null ? null : property.getReadMethod().invoke(value);
            if (member != null) {
                parts.add(of(elementName(value, property)) + ":" + of(member));
            }
        }
        return parts.stream().collect(Collectors.joining(",", "{", "}"));
    }

    private static PropertyDescriptor[] properties(Object bean) {
        try {
            return Introspector.getBeanInfo(bean.getClass(), Object.class).getPropertyDescriptors();
        } catch (IntrospectionException e) {
            throw new IllegalStateException(e);
        }
    }

    private static String elementName(Object bean, PropertyDescriptor property) throws NoSuchFieldException {
        XmlElement element = bean.getClass().getDeclaredField(property.getName()).getAnnotation(XmlElement.class);
        return element.name();
    }
}
