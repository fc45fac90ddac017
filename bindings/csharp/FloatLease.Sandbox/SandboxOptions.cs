using System;

namespace FloatLease
{
    /// <summary>The options of a <see cref="Sandbox"/> at its start. A property that is null is left out.</summary>
    public sealed class SandboxOptions
    {
        /// <summary>The options as a JSON object. Set a key here that has no property.</summary>
        public JsonValue Members { get; private set; } = JsonValue.NewObject();

        /// <summary>
        /// The products and licenses of the server: an object, or the text of a catalogue.toml; by default the
        /// sandbox's own.
        /// </summary>
        public JsonValue Catalogue
        {
            get => Members["catalogue"];
            set => Members["catalogue"] = value;
        }

        /// <summary>
        /// true adds licenses that provoke each refusal of the API. <see cref="Sandbox.Info"/> lists them under
        /// presets.
        /// </summary>
        public bool Presets
        {
            get => Members["presets"].Boolean ?? false;
            set => Members["presets"] = value;
        }

        /// <summary>
        /// The server's time at the start, "2028-02-29T12:00:00Z" or "now-1h"; by default the real time.
        /// </summary>
        public string Now
        {
            get => Members["now"].Text;
            set => Members["now"] = value == null ? null : (JsonValue)value;
        }

        /// <summary>
        /// The speed of the server's clock: 1 (default) is real time, 60 lets a minute pass in a second, 0 stands
        /// still.
        /// </summary>
        public double Rate
        {
            get => Members["rate"].Double ?? 1;
            set => Members["rate"] = JsonValue.Number(value);
        }

        /// <summary>A port for the control interface, so that other processes can use it; 0 is a free one.</summary>
        public int? ControlPort
        {
            get => (int?)Members["control_port"].Int64;
            set => Members["control_port"] = value == null ? null : (JsonValue)(long)value.Value;
        }

        /// <summary>Reads options from a JSON object.</summary>
        /// <exception cref="FormatException">
        /// The text is not valid JSON; the message says at which position.
        /// </exception>
        public static SandboxOptions Parse(string json) => new SandboxOptions { Members = JsonValue.Parse(json) };
    }
}
