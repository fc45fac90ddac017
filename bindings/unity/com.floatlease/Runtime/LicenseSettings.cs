using System;
using System.IO;
using UnityEngine;

namespace FloatLease.Unity
{
    /// <summary>
    /// The license, server and features of a <see cref="LicenseManager"/>, as the Inspector shows them.
    /// </summary>
    /// <remarks>
    /// Everybody who has the player can read these fields. A license key that the user types in need not be among them:
    /// set it in the config that <see cref="ToConfig"/> makes, and pass that to <see
    /// cref="LicenseManager.AcquireLease(ClientConfig, LeaseRequest)"/>.
    /// </remarks>
    [Serializable]
    public sealed class LicenseSettings
    {
        /// <summary>The product's short code.</summary>
        [Tooltip("The product's short code.")]
        public string product = "";

        /// <summary>The API key of the vendor's account. It names the account in each request.</summary>
        public string apiKey = "";

        /// <summary>The shared key of the vendor's account. It signs each request.</summary>
        public string sharedKey = "";

        /// <summary>The OAuth client of the vendor's account, or empty if there is an API key.</summary>
        public string clientId = "";

        /// <summary>The secret of the OAuth client. Access tokens are fetched with it.</summary>
        public string clientSecret = "";

        /// <summary>The license key, or empty if the user types it in.</summary>
        [Tooltip("Leave it empty if the user types it in.")]
        public string licenseKey = "";

        /// <summary>The server's address, or empty for the vendor's cloud.</summary>
        [Tooltip("Empty: the vendor's cloud.")]
        public string baseUrl = "";

        /// <summary>
        /// The PEM public key that proves the server's replies. Every server but the vendor's cloud needs it.
        /// </summary>
        [Tooltip("PEM. Needed for every server but the vendor's cloud."), TextArea]
        public string publicKey = "";

        /// <summary>The features to hold, all of them or none. Empty: the license's own slot.</summary>
        [Tooltip("All of them or none. Empty: the license's own slot.")]
        public string[] features = new string[0];

        /// <summary>The longest time in seconds to queue while every slot is taken; 0 does not queue.</summary>
        [Tooltip("How long to queue while every slot is taken."), Min(0)]
        public int waitSeconds = 60;

        /// <summary>
        /// The time in seconds that the game may run on after its slot may have gone to another device.
        /// </summary>
        [Tooltip("How long the game may run on when the slot is no longer surely its own."), Min(0)]
        public int graceSeconds = 300;

        /// <summary>
        /// True if the game's folder keeps a record of the held slot. With it a second copy of the game on this machine
        /// shares the slot, the start after a crash settles it, and a change of scripts in Play mode does not lose it.
        /// </summary>
        [Tooltip("Remember in the game's folder what is held: for a second copy, for the start after a crash.")]
        public bool keepOnDisk = true;

        /// <summary>
        /// Makes a client's config of these settings. Call it on the main thread: it asks Unity for the game's folder.
        /// </summary>
        public ClientConfig ToConfig()
        {
            return new ClientConfig
            {
                Product = NullIfEmpty(product),
                ApiKey = NullIfEmpty(apiKey),
                SharedKey = NullIfEmpty(sharedKey),
                ClientId = NullIfEmpty(clientId),
                ClientSecret = NullIfEmpty(clientSecret),
                LicenseKey = NullIfEmpty(licenseKey),
                BaseUrl = NullIfEmpty(baseUrl),
                PublicKey = NullIfEmpty(publicKey),
                StorageDir = keepOnDisk ? Path.Combine(Application.persistentDataPath, "floatlease") : null,
                AppName = NullIfEmpty(Application.productName),
                AppVersion = NullIfEmpty(Application.version),
            };
        }

        /// <summary>Makes the request of a lease of these settings.</summary>
        public LeaseRequest ToRequest()
        {
            return new LeaseRequest
            {
                Features = features == null || features.Length == 0 ? null : features,
                Wait = TimeSpan.FromSeconds(waitSeconds),
                Grace = TimeSpan.FromSeconds(graceSeconds),
            };
        }

        private static string NullIfEmpty(string text) => string.IsNullOrEmpty(text) ? null : text;
    }
}
