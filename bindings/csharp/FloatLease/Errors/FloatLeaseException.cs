using System;

namespace FloatLease
{
    /// <summary>
    /// The exception of a failed call. <see cref="Exception.Message"/> says what happened, and <see cref="Advice"/>
    /// what to do.
    /// </summary>
    public partial class FloatLeaseException : Exception
    {
        private readonly JsonValue error;

        internal FloatLeaseException(int status, string json)
            : this(json ?? Unsent(status), status)
        {
        }

        private FloatLeaseException(string json, int status) : this(status, json, JsonValue.ParseOrNull(json))
        {
        }

        private FloatLeaseException(int status, string json, JsonValue error)
            : base(error["message"].Text ?? "The call failed: " + StatusNames.Of(status) + ".")
        {
            StatusNumber = status;
            Json = json;
            this.error = error;
        }

        /// <summary>
        /// The status of the failure. It may be a number that this version of the enum does not list.
        /// </summary>
        public Status Status => (Status)StatusNumber;

        /// <summary>The number of the status, as the library gave it.</summary>
        public int StatusNumber { get; }

        /// <summary>The name of the status, for example "FLOATING_NOT_AVAILABLE".</summary>
        public string Name => error["name"].Text ?? StatusNames.Of(StatusNumber);

        /// <summary>The category of the failure, for example "license" or "network".</summary>
        public string Category => error["category"].Text ?? "";

        /// <summary>A sentence that says what to do about the failure.</summary>
        public string Advice => error["advice"].Text ?? "";

        /// <summary>The progress of the call, which a program must know before it tries again.</summary>
        public Outcome Outcome
        {
            get
            {
                string outcome = error["outcome"].Text;
                return outcome == "not_sent" ? Outcome.NotSent
                    : outcome == "rejected" ? Outcome.Rejected
                    : Outcome.Unknown;
            }
        }

        /// <summary>True if the same call may succeed later, although no setting is changed.</summary>
        public bool Retryable => error["retryable"].Boolean ?? false;

        /// <summary>The time after which the server accepts the next request; null if it did not say.</summary>
        public TimeSpan? RetryAfter => Dates.Length(error["retry_after_ms"].Int64);

        /// <summary>The HTTP status of the last reply; null if there was no reply.</summary>
        public int? HttpStatus => (int?)error["http_status"].Int64;

        /// <summary>
        /// The error code in the last reply, for example "floating_not_available"; null if it has none.
        /// </summary>
        public string ServerCode => error["server_code"].Text;

        /// <summary>The number of requests that the call has tried.</summary>
        public int Attempts => (int)(error["attempts"].Int64 ?? 0);

        /// <summary>The time that the call took.</summary>
        public TimeSpan Elapsed => Dates.Length(error["elapsed_ms"].Int64) ?? TimeSpan.Zero;

        /// <summary>The whole error object, as the library gave it, with members that have no property here.</summary>
        public string Json { get; }

        // The error object for functions that give none. They only prepare a call, so nothing was sent.
        private static string Unsent(int status)
        {
            JsonValue error = JsonValue.NewObject();
            error["status"] = status;
            error["name"] = StatusNames.Of(status);
            error["outcome"] = "not_sent";
            switch ((Status)status)
            {
                case Status.UnknownOperation:
                    error["message"] = "There is no operation of this name.";
                    error["advice"] = "Use a name from the table in floatlease.h, for example \"borrow_license\".";
                    break;
                case Status.TooManyCalls:
                    error["message"] = "1,000 calls of this client are under way, or done and not read.";
                    error["advice"] = "Await some of them before you begin another; with ManualPump call Pump.";
                    break;
                case Status.Ticket:
                    error["message"] = "No such call is under way.";
                    error["advice"] = "Nothing to do if it is done: its completion tells how far it got.";
                    break;
            }
            return error.ToString();
        }
    }
}
