import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.StringWriter;
import java.io.Writer;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.connect.data.Date;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Time;
import org.apache.kafka.connect.header.ConnectHeaders;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.storage.SimpleHeaderConverter;
import org.apache.kafka.connect.transforms.Transformation;
import org.apache.kafka.connect.transforms.predicates.Predicate;

/**
 * Runs Kafka Connect's own converters and transforms over cases read from standard input, a JSON
 * object a line, and writes what came out, a JSON object a line. The form of both is described in
 * suite/differential/java.rs. Decides nothing: whether results are right is asked elsewhere.
 */
public final class Differential {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final HexFormat HEX = HexFormat.of();

    private Differential() { }

    public static void main(String[] args) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        BufferedWriter out =
            new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            run(JSON.readTree(line), out);
            out.write('\n');
            out.flush();
        }
    }

    /** One stage of the chain: Connect's TransformationStage without its metrics. */
    private static final class Stage {
        Transformation<SinkRecord> transform;
        Predicate<SinkRecord> predicate;
        boolean negate;

        SinkRecord apply(SinkRecord record) {
            if (predicate != null && predicate.test(record) == negate) {
                return record;
            }
            return transform.apply(record);
        }
    }

    private static void run(JsonNode given, Writer out) throws IOException {
        JsonGenerator json = JSON.getFactory().createGenerator(out);
        json.disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET);
        json.writeStartObject();
        Converter key;
        Converter value;
        SimpleHeaderConverter header = new SimpleHeaderConverter();
        List<Stage> chain;
        try {
            header.configure(Map.of());
            key = converter(given.get("key"), true);
            value = converter(given.get("value"), false);
            chain = chain(texts(given.get("config")));
        } catch (Throwable error) {
            writeError(json, "configure", error);
            json.writeEndObject();
            json.close();
            return;
        }
        json.writeArrayFieldStart("results");
        for (JsonNode record : given.get("records")) {
            json.writeStartObject();
            apply(record, key, value, header, chain, json);
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeEndObject();
        json.close();
    }

    private static Map<String, String> texts(JsonNode object) {
        Map<String, String> map = new HashMap<>();
        for (Map.Entry<String, JsonNode> entry : object.properties()) {
            map.put(entry.getKey(), entry.getValue().asText());
        }
        return map;
    }

    private static Converter converter(JsonNode given, boolean isKey) throws Exception {
        Map<String, String> options = texts(given);
        Converter converter = (Converter) create(options.remove("class"));
        converter.configure(options, isKey);
        return converter;
    }

    private static Object create(String type) throws Exception {
        return Class.forName(type).getDeclaredConstructor().newInstance();
    }

    private static Map<String, String> under(Map<String, String> config, String prefix) {
        Map<String, String> found = new HashMap<>();
        config.forEach((name, value) -> {
            if (name.startsWith(prefix)) {
                found.put(name.substring(prefix.length()), value);
            }
        });
        return found;
    }

    @SuppressWarnings("unchecked")
    private static List<Stage> chain(Map<String, String> config) throws Exception {
        List<Stage> chain = new ArrayList<>();
        for (String alias : config.getOrDefault("transforms", "").split(",")) {
            if (alias.isEmpty()) {
                continue;
            }
            Map<String, String> options = under(config, "transforms." + alias + ".");
            Stage stage = new Stage();
            stage.transform = (Transformation<SinkRecord>) create(options.get("type"));
            stage.transform.configure(options);
            String predicate = options.get("predicate");
            if (predicate != null) {
                Map<String, String> its = under(config, "predicates." + predicate + ".");
                stage.predicate = (Predicate<SinkRecord>) create(its.get("type"));
                stage.predicate.configure(its);
                stage.negate = Boolean.parseBoolean(options.get("negate"));
            }
            chain.add(stage);
        }
        return chain;
    }

    private static byte[] bytes(JsonNode text) {
        return text.isNull() ? null : Base64.getDecoder().decode(text.textValue());
    }

    private static void apply(JsonNode given, Converter keys, Converter values,
                              SimpleHeaderConverter headers, List<Stage> chain, JsonGenerator json)
            throws IOException {
        String topic = given.get("topic").textValue();
        String phase = "key";
        StringWriter rendered = new StringWriter();
        try {
            SchemaAndValue key = keys.toConnectData(topic, null, bytes(given.get("key")));
            phase = "value";
            SchemaAndValue value = values.toConnectData(topic, null, bytes(given.get("value")));
            phase = "header";
            ConnectHeaders all = new ConnectHeaders();
            for (JsonNode one : given.get("headers")) {
                String name = one.get(0).textValue();
                all.add(name, headers.toConnectHeader(topic, name, bytes(one.get(1))));
            }
            JsonNode time = given.get("timestamp");
            SinkRecord record = new SinkRecord(
                topic, given.get("partition").intValue(), key.schema(), key.value(), value.schema(),
                value.value(), given.get("offset").longValue(), time.isNull() ? null : time.longValue(),
                time.isNull() ? TimestampType.NO_TIMESTAMP_TYPE : TimestampType.CREATE_TIME, all);
            phase = "apply";
            for (Stage stage : chain) {
                record = stage.apply(record);
                if (record == null) {
                    json.writeBooleanField("dropped", true);
                    return;
                }
            }
            phase = "show";
            JsonGenerator shown = JSON.getFactory().createGenerator(rendered);
            show(record, shown);
            shown.close();
        } catch (Throwable error) {
            writeError(json, phase, error);
            return;
        }
        json.writeFieldName("record");
        json.writeRawValue(rendered.toString());
    }

    private static void writeError(JsonGenerator json, String phase, Throwable error) throws IOException {
        json.writeStringField("error", phase);
        json.writeStringField("class", error.getClass().getName());
        json.writeStringField("message", String.valueOf(error.getMessage()));
    }

    private static void show(SinkRecord record, JsonGenerator json) throws IOException {
        json.writeStartObject();
        json.writeStringField("topic", record.topic());
        json.writeFieldName("timestamp");
        if (record.timestamp() == null) {
            json.writeNull();
        } else {
            json.writeNumber(record.timestamp());
        }
        side("key", record.keySchema(), record.key(), json);
        side("value", record.valueSchema(), record.value(), json);
        json.writeArrayFieldStart("headers");
        for (Header header : record.headers()) {
            json.writeStartObject();
            json.writeStringField("name", header.key());
            side("header", header.schema(), header.value(), json);
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeEndObject();
    }

    private static void side(String name, Schema schema, Object value, JsonGenerator json)
            throws IOException {
        json.writeFieldName(name + "_schema");
        schema(schema, json);
        json.writeFieldName(name);
        value(schema, value, json);
    }

    private static void schema(Schema schema, JsonGenerator json) throws IOException {
        if (schema == null) {
            json.writeNull();
            return;
        }
        json.writeStartObject();
        json.writeStringField("type", schema.type().getName());
        json.writeBooleanField("optional", schema.isOptional());
        if (schema.name() != null) {
            json.writeStringField("name", schema.name());
        }
        if (schema.version() != null) {
            json.writeNumberField("version", schema.version());
        }
        if (schema.doc() != null) {
            json.writeStringField("doc", schema.doc());
        }
        if (schema.parameters() != null && !schema.parameters().isEmpty()) {
            json.writeObjectFieldStart("parameters");
            for (Map.Entry<String, String> entry : new TreeMap<>(schema.parameters()).entrySet()) {
                json.writeStringField(entry.getKey(), entry.getValue());
            }
            json.writeEndObject();
        }
        if (schema.defaultValue() != null) {
            json.writeFieldName("default");
            value(schema, schema.defaultValue(), json);
        }
        switch (schema.type()) {
            case STRUCT:
                json.writeArrayFieldStart("fields");
                for (Field field : schema.fields()) {
                    json.writeStartArray();
                    json.writeString(field.name());
                    schema(field.schema(), json);
                    json.writeEndArray();
                }
                json.writeEndArray();
                break;
            case MAP:
                json.writeFieldName("keys");
                schema(schema.keySchema(), json);
                json.writeFieldName("values");
                schema(schema.valueSchema(), json);
                break;
            case ARRAY:
                json.writeFieldName("items");
                schema(schema.valueSchema(), json);
                break;
            default:
        }
        json.writeEndObject();
    }

    /** Scalars as text behind a letter for their class, so that no two classes look alike. */
    private static void value(Schema schema, Object value, JsonGenerator json) throws IOException {
        if (value == null) {
            json.writeNull();
        } else if (value instanceof Boolean) {
            json.writeBoolean((Boolean) value);
        } else if (value instanceof Byte) {
            json.writeString("b:" + value);
        } else if (value instanceof Short) {
            json.writeString("s:" + value);
        } else if (value instanceof Integer) {
            json.writeString("i:" + value);
        } else if (value instanceof Long) {
            json.writeString("l:" + value);
        } else if (value instanceof Float) {
            json.writeString("f:" + Integer.toHexString(Float.floatToIntBits((Float) value)));
        } else if (value instanceof Double) {
            json.writeString("d:" + Long.toHexString(Double.doubleToLongBits((Double) value)));
        } else if (value instanceof String) {
            json.writeString("t:" + value);
        } else if (value instanceof byte[]) {
            json.writeString("x:" + HEX.formatHex((byte[]) value));
        } else if (value instanceof ByteBuffer) {
            json.writeString("x:" + HEX.formatHex(((ByteBuffer) value).array()));
        } else if (value instanceof BigDecimal) {
            BigDecimal decimal = (BigDecimal) value;
            String digits = HEX.formatHex(decimal.unscaledValue().toByteArray());
            json.writeString("D:" + digits + ":" + decimal.scale());
        } else if (value instanceof BigInteger) {
            json.writeString("B:" + value);
        } else if (value instanceof java.util.Date) {
            json.writeString(instant(schema, (java.util.Date) value));
        } else if (value instanceof List) {
            json.writeStartArray();
            for (Object item : (List<?>) value) {
                value(schema == null ? null : schema.valueSchema(), item, json);
            }
            json.writeEndArray();
        } else if (value instanceof Map) {
            map(schema, (Map<?, ?>) value, json);
        } else if (value instanceof Struct) {
            Struct struct = (Struct) value;
            json.writeStartObject();
            json.writeArrayFieldStart("struct");
            for (Field field : struct.schema().fields()) {
                value(field.schema(), struct.getWithoutDefault(field.name()), json);
            }
            json.writeEndArray();
            json.writeEndObject();
        } else {
            throw new IllegalStateException("value of " + value.getClass());
        }
    }

    /** Without a schema an instant; under one the integer that would travel. */
    private static String instant(Schema schema, java.util.Date value) {
        if (schema == null) {
            return "T:" + value.getTime();
        }
        if (Date.LOGICAL_NAME.equals(schema.name())) {
            return "i:" + Date.fromLogical(schema, value);
        }
        if (Time.LOGICAL_NAME.equals(schema.name())) {
            return "i:" + Time.fromLogical(schema, value);
        }
        return "l:" + value.getTime();
    }

    private static void map(Schema schema, Map<?, ?> map, JsonGenerator json) throws IOException {
        json.writeStartObject();
        json.writeArrayFieldStart("map");
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            json.writeStartArray();
            value(schema == null ? null : schema.keySchema(), entry.getKey(), json);
            value(schema == null ? null : schema.valueSchema(), entry.getValue(), json);
            json.writeEndArray();
        }
        json.writeEndArray();
        json.writeEndObject();
    }
}
